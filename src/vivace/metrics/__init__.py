"""What can be made of watching runs: pictures of one run, spans of all of them."""
