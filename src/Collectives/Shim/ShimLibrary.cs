using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;

namespace DistTrain.Collectives;

/// <summary>
/// Where the shim's file is: the folder that <c>DISTTRAIN_NATIVE</c> names; else beside this assembly, there under <c>runtimes/&lt;rid&gt;/native</c>, beside the program, or
/// wherever the system looks.
/// </summary>
public static class ShimLibrary
{
    /// <summary>The version of the C interface that this assembly speaks.</summary>
    internal const int AbiVersion = 3;

    /// <summary>The variable that names a folder to take native libraries from, and no other place.</summary>
    public const string FolderVariable = "DISTTRAIN_NATIVE";

    private const string FileName = "libdisttrain_shim.so";
    private static readonly Lock s_lock = new();
    private static bool s_registered;
    private static nint s_handle;

    /// <summary>Whether the shim can be loaded and speaks this assembly's version.</summary>
    /// <param name="problem">Why not, with every path tried; empty if it can.</param>
    public static bool TryLoad(out string problem)
    {
        StringBuilder tried = new();
        if (Load(tried) == 0)
        {
            problem = $"the collectives' native library {FileName} can't be loaded; tried:{tried}\nIt is built by `./disttrain` and `dotnet build` where cmake and a C compiler are there "
                + $"(Debian: apt-get install cmake gcc), and comes with the package on linux-x64. {FolderVariable} names a folder to take it from.";
            return false;
        }
        int version = ShimMethods.dt_abi_version();
        problem = version == AbiVersion ? "" : $"the collectives' native library speaks version {version} of its interface, this program version {AbiVersion}: build both from the same sources; loaded:{tried}";
        return version == AbiVersion;
    }

    /// <summary>Whether a transport can be used here: <c>shm</c>, <c>mpi</c> or <c>nccl</c>.</summary>
    /// <param name="transport">Its name.</param>
    /// <param name="problem">Why not; empty if it can.</param>
    public static unsafe bool IsTransportAvailable(string transport, out string problem)
    {
        ShimTransportNumber number = transport switch
        {
            "shm" => ShimTransportNumber.SharedMemory,
            "mpi" => ShimTransportNumber.Mpi,
            "nccl" => ShimTransportNumber.Nccl,
            _ => throw new ArgumentException($"there is no native transport '{transport}'; there are shm, mpi and nccl", nameof(transport)),
        };
        if (!TryLoad(out problem)) return false;
        byte* reason = stackalloc byte[ShimErrors.TextBytes];
        if (ShimMethods.dt_transport_available((int)number, reason, ShimErrors.TextBytes) == ShimStatus.Ok) return true;
        problem = ShimErrors.Text(reason);
        return false;
    }

    internal static void Register()
    {
        lock (s_lock)
        {
            if (s_registered) return;
            s_registered = true;
            NativeLibrary.SetDllImportResolver(typeof(ShimLibrary).Assembly, static (name, _, _) => name == ShimMethods.Library ? Load(new StringBuilder()) : 0);
        }
    }

    private static nint Load(StringBuilder tried)
    {
        lock (s_lock)
        {
            if (s_handle != 0) return s_handle;
            foreach (string path in Candidates())
            {
                try
                {
                    s_handle = NativeLibrary.Load(path);
                    tried.Append($"\n  {path}");
                    return s_handle;
                }
                catch (Exception failure) when (failure is DllNotFoundException or BadImageFormatException)
                {
                    tried.Append($"\n  {path}: {(Path.IsPathRooted(path) && !File.Exists(path) ? "no such file" : failure.Message.ReplaceLineEndings(" "))}");
                }
            }
            return 0;
        }
    }

    private static IEnumerable<string> Candidates()
    {
        if (Environment.GetEnvironmentVariable(FolderVariable) is { Length: > 0 } folder) return [Path.Combine(folder, FileName)];
        string[] roots = [.. new[] { Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location) ?? "", AppContext.BaseDirectory }.Where(root => root.Length > 0).Select(Path.TrimEndingDirectorySeparator).Distinct()];
        return [.. roots.SelectMany(root => new[] { Path.Combine(root, FileName), Path.Combine(root, "runtimes", RuntimeInformation.RuntimeIdentifier, "native", FileName), Path.Combine(root, "runtimes", PortableIdentifier, "native", FileName) }).Distinct(), FileName];
    }

    // debian.12-x64 and its like have their files under the portable name.
    private static string PortableIdentifier => $"linux-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";
}
