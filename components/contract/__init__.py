"""What every step and the server share: tables, artifacts, features, the release. Imports no step."""
