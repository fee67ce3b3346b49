"""What is trained: data set, model, loss and metric, one module per workload."""
