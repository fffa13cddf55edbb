"""The comparison's page: recordings and what is blamed, or logits and what losses make of them."""
