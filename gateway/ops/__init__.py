"""What operators and monitors see: the dashboard, health, metrics, checks of a deployment."""
