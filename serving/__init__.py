"""The KServe model server: candidates, features and ranks for each request, from one release."""
