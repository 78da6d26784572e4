"""Configuration from files and mappings."""

from resilient_redis.config.loader import ResilienceConfig, load_config
from resilient_redis.config.policy_tables import dump_policies

__all__ = ["ResilienceConfig", "dump_policies", "load_config"]
