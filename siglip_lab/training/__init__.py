"""Train and fine-tune on your own pictures."""
