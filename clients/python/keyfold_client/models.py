"""Bodies and answers of the operations."""

from keyfold_client.generated.models import *  # noqa: F403
