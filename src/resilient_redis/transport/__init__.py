"""One exchange over a connection, with a deadline, and the knowledge of how far it got."""
