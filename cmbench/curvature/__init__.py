"""Sharpness: Hessian-vector products and the eigenvalues computed with them."""
