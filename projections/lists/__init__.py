"""Lists across streams, and the tables that catch up when they are read."""
