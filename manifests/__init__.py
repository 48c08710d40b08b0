"""What Waymark needs on Kubernetes, as kustomize bases, components and overlays, and their check."""
