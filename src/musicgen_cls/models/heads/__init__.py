"""Small networks on embeddings and tags of pretrained networks."""
