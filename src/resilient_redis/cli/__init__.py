"""The command line: ``resilient-redis COMMAND``. One file a command."""
