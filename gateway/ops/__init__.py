"""Pages and routes for operators and monitors: the dashboard, health, metrics, checks of a deployment."""
