"""What portal and console share: sessions, cookies, CSRF, flash messages, rendering, languages."""
