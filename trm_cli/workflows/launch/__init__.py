"""Write job files for engines that run on many machines, and hand them over where that is asked for.

job           what is to run, on how many machines, as one job or an array
slurm         a batch script
skypilot      a managed job
kubernetes    a JobSet
launch        the command: files, submission
"""
