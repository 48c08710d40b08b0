"""Speed and robustness of the server, over the network, beside an empty KServe server."""
