namespace DistTrain.Cli;

/// <summary>The command line asks for something that does not exist or can't be combined: exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);
