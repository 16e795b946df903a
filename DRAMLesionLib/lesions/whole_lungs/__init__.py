"""The network that sees both lungs whole, and says how much of each lobe is lesion."""
