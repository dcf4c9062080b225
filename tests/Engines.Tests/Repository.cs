namespace DistTrain.Engines.Tests;

/// <summary>Places in the checkout.</summary>
internal static class Repository
{
    internal static string Root { get; } = FindRoot();

    internal static string RankProgram { get; } = Path.Combine(AppContext.BaseDirectory, "RankProgram.dll");

    /// <summary>The start of a command line of the built disttrain.</summary>
    internal static string[] Tool { get; } = ["dotnet", Path.Combine(Root, "artifacts", "bin", "DistTrain.Cli", new DirectoryInfo(AppContext.BaseDirectory).Name, "disttrain.dll")];

    internal static string Deploy(params ReadOnlySpan<string> parts) => Path.Combine([Root, "deploy", .. parts]);

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "DistTrain.sln"))) return folder.FullName;
        throw new InvalidOperationException($"DistTrain.sln is in no folder above {AppContext.BaseDirectory}");
    }
}
