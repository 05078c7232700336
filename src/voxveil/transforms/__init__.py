"""Channels that speech goes through on its way to a listener or an attacker; differentiable where physics is."""
