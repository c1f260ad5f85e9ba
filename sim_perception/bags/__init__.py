"""rosbag2 recordings without ROS: topics, readers, a writer, messages."""
