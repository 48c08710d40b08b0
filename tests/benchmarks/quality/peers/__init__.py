"""The peers; they run in .venv-peers, one process each, and import their packages when called.

(The product's environment lacks those packages, and pytest imports every module there.)
"""
