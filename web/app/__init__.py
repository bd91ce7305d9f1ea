"""What every request works with: settings, the process's services, hooks, errors, access."""
