"""The four Kubeflow pipelines, the local runner and the command line."""
