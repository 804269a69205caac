"""Parts of the supervisor process of ``gimbal run``: children, control socket, console, figures, log keeping."""
