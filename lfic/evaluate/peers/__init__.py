"""The codecs that lfic is compared with, a file for each family, each at the settings that serve small faces best."""
