"""Configuration from files, mappings and the environment."""

from resilient_redis.config.configuration import ResilienceConfig
from resilient_redis.config.loader import load_config
from resilient_redis.config.origins import Origin, Setting
from resilient_redis.config.policy_tables import dump_policies

__all__ = ["Origin", "ResilienceConfig", "Setting", "dump_policies", "load_config"]
