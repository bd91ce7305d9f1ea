"""The shapes of what is sent and answered, as /openapi.json has them."""
