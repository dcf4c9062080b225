using System.Reflection;
using System.Runtime.InteropServices;

namespace DistTrain.Kernels;

/// <summary>
/// The one place that says which file a native library's name stands for. An assembly can have one resolver only, so ILGPU's
/// (OpenCL, CUDA) and this assembly's names are all resolved here.
/// </summary>
public static class NativeLibraries
{
    private static readonly Dictionary<string, string[]> s_candidates = new()
    {
        ["OpenCL"] = ["libOpenCL.so.1", "libOpenCL.so", "OpenCL"],
        ["cuda"] = ["libcuda.so.1", "libcuda.so", "nvcuda"],
    };

    // With the collectives comes a library that is the driver, but for ILGPU's contexts: they become the device's primary one, which NCCL works in.
    private const string CudaAdapter = "libdisttrain_cuda.so";
    private const string FolderVariable = "DISTTRAIN_NATIVE";

    private static readonly Lock s_lock = new();
    private static bool s_registered;

    /// <summary>Installs the resolver. Must run before ILGPU's first native call; safe to call often.</summary>
    internal static void Register()
    {
        lock (s_lock)
        {
            if (s_registered) return;
            s_registered = true;
            NativeLibrary.SetDllImportResolver(typeof(ILGPU.Context).Assembly, Resolve);
            NativeLibrary.SetDllImportResolver(typeof(NativeLibraries).Assembly, Resolve);
        }
    }

    /// <summary>Tries to load a library (<c>OpenCL</c> or <c>cuda</c>) and gives each file tried with its outcome: for <c>disttrain doctor</c>.</summary>
    public static IReadOnlyList<(string File, bool Loaded)> Probe(string library) =>
        [.. Candidates(library).Select(file => (file, TryLoad(file)))];

    private static bool TryLoad(string file)
    {
        if (!NativeLibrary.TryLoad(file, out nint handle)) return false;
        NativeLibrary.Free(handle);
        return true;
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? path)
    {
        if (!s_candidates.ContainsKey(name)) return 0;
        foreach (string candidate in Candidates(name))
            if (NativeLibrary.TryLoad(candidate, out nint handle)) return handle;
        return 0;
    }

    private static string[] Candidates(string name) => name == "cuda"
        ? Candidates(Environment.GetEnvironmentVariable(FolderVariable), Path.GetDirectoryName(typeof(NativeLibraries).Assembly.Location), AppContext.BaseDirectory)
        : s_candidates.GetValueOrDefault(name) ?? [name];

    /// <summary>The files that <c>cuda</c> may stand for, the first that loads is taken: the adapter where its file is, then the driver itself.</summary>
    /// <param name="only">The one folder to look for the adapter in, or null or empty.</param>
    /// <param name="roots">Otherwise the folders beside or below which it may be.</param>
    internal static string[] Candidates(string? only, params ReadOnlySpan<string?> roots)
    {
        List<string> found = [];
        if (!string.IsNullOrEmpty(only)) found.Add(Path.Combine(only, CudaAdapter));
        else
            foreach (string? root in roots)
                if (!string.IsNullOrEmpty(root))
                    found.AddRange([Path.Combine(root, CudaAdapter), Path.Combine(root, "runtimes", Platform, "native", CudaAdapter)]);
        return [.. found.Select(Path.GetFullPath).Distinct().Where(File.Exists), .. s_candidates["cuda"]];
    }

    private static string Platform => $"linux-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";
}
