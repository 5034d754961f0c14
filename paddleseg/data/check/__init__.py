"""What is wrong with a data set, and what is in it: findings and figures; no pictures, no Paddle."""
