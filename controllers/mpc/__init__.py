"""Model predictive control: any planner in the loop, linear MPC as a quadratic program, and sampling."""
