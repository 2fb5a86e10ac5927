"""What structures beside the target tell a network: gradients, information, level sets."""
