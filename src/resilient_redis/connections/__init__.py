"""redis-py connections that know which attempt they serve and in what state they are; below the pool."""
