"""LeNet's training step in JAX, compiled as a whole: forward, cross-entropy, gradients, SGD; the loss is read."""

import os


def version():
    """Of JAX."""
    import jax

    return f"JAX {jax.__version__}"


def make(threads, batch=64):
    """The step on a batch in memory."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    if hasattr(os, "sched_setaffinity"):  # XLA has as many threads as cores that it may use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import jax
    import jax.numpy as jnp
    import numpy as np

    rng = np.random.RandomState(0)

    def weight(*shape):
        return jnp.asarray(rng.randn(*shape).astype(np.float32) * (2.0 / np.prod(shape[1:])) ** 0.5)

    shapes = [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)]
    parameters = [(weight(*shape), jnp.zeros(shape[0])) for shape in shapes]
    x = jnp.asarray(rng.rand(batch, 1, 28, 28).astype(np.float32))
    y = jnp.asarray(rng.randint(0, 10, batch))

    def pool(value):
        return jax.lax.reduce_window(value, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def loss(parameters, x, y):
        for w, b in parameters[:2]:
            x = pool(jax.lax.conv(x, w, (1, 1), "VALID") + b[None, :, None, None])
        (w3, b3), (w4, b4) = parameters[2:]
        logits = jax.nn.relu(x.reshape(len(x), -1) @ w3.T + b3) @ w4.T + b4
        return -jax.nn.log_softmax(logits)[jnp.arange(len(x)), y].mean()

    @jax.jit
    def update(parameters, x, y):
        value, gradients = jax.value_and_grad(loss)(parameters, x, y)
        return jax.tree_util.tree_map(lambda p, g: p - 0.01 * g, parameters, gradients), value

    state = [parameters]

    def step():
        state[0], value = update(state[0], x, y)
        return float(value)

    return step
