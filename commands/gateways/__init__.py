"""Where commands reach another company's service."""
