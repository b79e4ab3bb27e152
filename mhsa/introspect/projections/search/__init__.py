"""Which parameter is which map: by the axes that it can have, its name, its gradients, and the order of definition."""
