"""What the fork server imports before it forks: all that an attack's process may need, which takes seconds."""

import bench.preload
import bench.run.attack_process  # noqa: F401
