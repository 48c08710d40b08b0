"""TensorFlow as TensorFlow Recommenders needs it: with Keras 2. Import both from here."""

import os

# tf.keras is resolved when it is first touched, which importing tensorflow_recommenders does.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
import tensorflow_recommenders as tfrs

__all__ = ["tf", "tfrs"]
