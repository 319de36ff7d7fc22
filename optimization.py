"""AdamW without bias correction, its learning-rate schedule and train op."""

import tensorflow.compat.v1 as tf

# Variables that weight decay leaves alone.
NO_DECAY = ("LayerNorm", "layer_norm", "bias")


def learning_rate_at(global_step, init_lr, num_train_steps, num_warmup_steps):
    """Linear warm-up to `init_lr`, then linear decay to 0 at num_train_steps
    (Devlin et al., 2019, in their code).

    The decay runs from step 0, not from the end of the warm-up: at the first
    step after it the rate is init_lr * (1 - step / num_train_steps).

    Args:
        global_step: int scalar tensor, steps already taken.
        init_lr: float, the peak.
        num_train_steps: int, the step at which the rate is 0.
        num_warmup_steps: int, 0 for none.

    Returns:
        float32 scalar tensor.
    """
    step = tf.cast(global_step, tf.float32)
    decayed = init_lr * tf.maximum(0.0, 1.0 - step / float(num_train_steps))
    if not num_warmup_steps:
        return decayed
    warming = init_lr * step / float(num_warmup_steps)
    return tf.where(step < float(num_warmup_steps), warming, decayed)


class AdamWeightDecayOptimizer(tf.train.Optimizer):
    """AdamW (Loshchilov & Hutter, ICLR 2019, algorithm 2) as BERT uses it.

    There is no bias correction (Devlin et al., 2019, in their code):
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        w <- w - lr (m / (sqrt(v) + epsilon) + weight_decay w)
    The decay term is left out for LayerNorm and bias variables. A sparse
    gradient is the dense one written compactly: repeated rows add up, and the
    moments and weights of rows without a gradient decay all the same.

    The slots are named `<variable>/adam_m` and `<variable>/adam_v`.
    """

    def __init__(self, learning_rate, weight_decay_rate=0.01, beta_1=0.9,
                 beta_2=0.999, epsilon=1e-6, exclude_from_weight_decay=NO_DECAY,
                 name="AdamWeightDecayOptimizer"):
        """learning_rate: float or scalar tensor; the rest: floats and names."""
        super(AdamWeightDecayOptimizer, self).__init__(False, name)
        self._learning_rate = learning_rate
        self._weight_decay_rate = weight_decay_rate
        self._beta_1 = beta_1
        self._beta_2 = beta_2
        self._epsilon = epsilon
        self._exclude_from_weight_decay = exclude_from_weight_decay

    def _create_slots(self, var_list):
        for var in var_list:
            self._zeros_slot(var, "m", "adam_m")
            self._zeros_slot(var, "v", "adam_v")

    def _prepare(self):
        self._rate = tf.convert_to_tensor(self._learning_rate, tf.float32)

    def _decay_rate(self, var):
        excluded = any(part in var.op.name
                       for part in self._exclude_from_weight_decay)
        return 0.0 if excluded else self._weight_decay_rate

    def _apply_dense(self, grad, var):
        m, v = self.get_slot(var, "m"), self.get_slot(var, "v")
        next_m = self._beta_1 * m + (1.0 - self._beta_1) * grad
        next_v = self._beta_2 * v + (1.0 - self._beta_2) * tf.square(grad)
        update = next_m / (tf.sqrt(next_v) + self._epsilon)
        decay_rate = self._decay_rate(var)
        if decay_rate:
            update += decay_rate * var
        next_var = var - self._rate * update
        # Every read comes before the first write, whatever kind of variable.
        with tf.control_dependencies([next_m, next_v, next_var]):
            return tf.group(m.assign(next_m), v.assign(next_v),
                            var.assign(next_var))

    def _resource_apply_dense(self, grad, handle):
        return self._apply_dense(grad, handle)

    def _apply_sparse(self, grad, var):
        return self._apply_dense(tf.convert_to_tensor(grad), var)

    def _resource_apply_sparse(self, grad, handle, indices):
        dense = tf.IndexedSlices(grad, indices, tf.shape(handle))
        return self._apply_dense(tf.convert_to_tensor(dense), handle)


def create_train_op(loss, init_lr, num_train_steps, num_warmup_steps,
                    clip_norm=5.0, mixed_precision=False):
    """The op of one training step, which also counts it.

    Under tf.distribute it is the step of the whole batch: the replicas'
    gradients are added up, then clipped.

    Args:
        loss: float32 scalar tensor.
        init_lr, num_train_steps, num_warmup_steps: see `learning_rate_at`.
        clip_norm: float, the gradients' global norm is clipped to it.
        mixed_precision: bool; TensorFlow rewrites the graph to float16 where
            that is safe, on GPUs alone, and scales the loss to match.

    Returns:
        (train op; learning rate and the gradients' global norm before it is
        clipped, float32 scalar tensors).
    """
    global_step = tf.train.get_or_create_global_step()
    rate = learning_rate_at(global_step, init_lr, num_train_steps,
                            num_warmup_steps)
    optimizer = AdamWeightDecayOptimizer(rate)
    if mixed_precision:
        optimizer = tf.train.experimental.enable_mixed_precision_graph_rewrite(
            optimizer)
    grads, variables = zip(*optimizer.compute_gradients(loss))
    # A sparse gradient may name a row twice; its norm counts the sum.
    grads = [None if grad is None else tf.convert_to_tensor(grad)
             for grad in grads]
    replica = tf.distribute.get_replica_context()
    # Pascanu et al., ICML 2013, algorithm 1, over all variables together.
    grads, norm = tf.clip_by_global_norm(_sum_of(grads, replica), clip_norm)
    if replica.num_replicas_in_sync > 1:
        # All of them have the sum now, and applying it adds it up once more.
        grads = [None if grad is None else grad / replica.num_replicas_in_sync
                 for grad in grads]
    train_op = optimizer.apply_gradients(
        list(zip(grads, variables)), global_step=global_step)
    return train_op, rate, norm


def _sum_of(grads, replica):
    """The replicas' gradients, added up: list of tensors, None where none is."""
    if replica.num_replicas_in_sync == 1:
        return grads

    # What replica.all_reduce does; in TensorFlow 1.15 that one looks for the
    # variables behind each tensor, and does not find another replica's.
    def add_up(strategy, *parts):
        return strategy.extended.batch_reduce_to(
            tf.distribute.ReduceOp.SUM, [(part, part) for part in parts])

    sums = iter(replica.merge_call(
        add_up, args=[grad for grad in grads if grad is not None]))
    return [None if grad is None else next(sums) for grad in grads]
