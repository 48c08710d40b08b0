"""Container images of the steps; the compiler takes registry and tag from the environment."""

import os

_REGISTRY = os.environ.get("WAYMARK_REGISTRY", "waymark")
_TAG = os.environ.get("WAYMARK_TAG", "dev")

DATA = f"{_REGISTRY}/data:{_TAG}"
TRAIN = f"{_REGISTRY}/train:{_TAG}"
LIGHT = f"{_REGISTRY}/light:{_TAG}"
