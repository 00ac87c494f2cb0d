"""What the package costs and how fast its files run; each script names the machine it ran on."""

from neonext_ascend.machine.environment import disable_telemetry

disable_telemetry()
