"""What is known about Redis commands: data, and the functions that read it."""
