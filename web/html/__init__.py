"""What the hosted pages and the console share: CSRF, cookies, flash messages, rendering."""
