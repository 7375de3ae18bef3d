"""What the simulated machine is built of: site layout, hardware, sensors, power, cooling, fabric, storage, NVLink."""
