"""The platform's rules: a document that anybody allowed to may edit, and what it makes of an answer."""
