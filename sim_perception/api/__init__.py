"""What Python programs call: everything that ``sim_perception.load`` gives, arrays in and out."""
