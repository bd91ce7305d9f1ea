"""What `keyfold doctor` looks at, a file for each part. Nothing here changes anything."""
