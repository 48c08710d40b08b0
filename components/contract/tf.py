"""TensorFlow with Keras 2, which TensorFlow Recommenders needs; every module imports it from here."""

import os

# tf.keras is resolved when it is first touched.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

__all__ = ["tf"]
