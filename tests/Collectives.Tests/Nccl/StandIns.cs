using System.Diagnostics;
using System.Runtime.InteropServices;

namespace DistTrain.Collectives.Tests;

/// <summary>
/// Stand-ins of libnccl.so.2 and libcuda.so.1, built of the shim's tests: their device memory is ordinary memory, their ranks are threads. Only for a process of its own, since what asks for CUDA there
/// finds them.
/// </summary>
internal static class StandIns
{
    /// <summary>Set in the process whose tests run over them.</summary>
    internal const string Variable = "DISTTRAIN_TESTS_NCCL_STAND_INS";

    internal static bool AreUsed => Environment.GetEnvironmentVariable(Variable) == "1";

    /// <summary>Skips a test of the process that has them not.</summary>
    internal static void Need() => Assert.SkipUnless(AreUsed, "over stand-ins of NCCL and the CUDA driver: run by NcclStandInTests in a process of its own");

    /// <summary>Builds them into a folder.</summary>
    /// <returns>Null; or why they can't be built.</returns>
    internal static string? Build(string folder)
    {
        string sources = Path.Combine(Root(), "native", "nccl-shim");
        string[] common = ["-std=gnu17", "-O1", "-shared", "-fPIC", "-pthread", "-I", Path.Combine(sources, "include"), "-I", Path.Combine(sources, "src"), "-I", Path.Combine(sources, "tests")];
        string cuda = Path.Combine(folder, "libcuda.so.1"), tests = Path.Combine(sources, "tests");
        return Compile([.. common, "-Wl,-soname,libcuda.so.1", Path.Combine(tests, "fake_nccl", "fake_cuda.c"), "-o", cuda])
            ?? Compile([.. common, "-Ddt_dtype_bytes=fake_dtype_bytes", "-Wl,-soname,libnccl.so.2", Path.Combine(tests, "fake_nccl", "fake_nccl.c"), Path.Combine(tests, "values.c"), cuda, "-lm", "-o", Path.Combine(folder, "libnccl.so.2")]);
    }

    /// <summary>Whether what is enqueued from now on is never done.</summary>
    internal static unsafe void Hang(bool hangs) => ((delegate* unmanaged<byte, void>)Function("libnccl.so.2", "fake_nccl_hang"))((byte)(hangs ? 1 : 0));

    /// <summary>Has all communicators report an error of NCCL's from now on; 0: none.</summary>
    internal static unsafe void Report(int result) => ((delegate* unmanaged<int, void>)Function("libnccl.so.2", "fake_nccl_error"))(result);

    /// <summary>Device allocations, streams, contexts and communicators that are not given back.</summary>
    internal static unsafe int Left() => ((delegate* unmanaged<int>)Function("libcuda.so.1", "fake_left"))();

    internal static string Root()
    {
        DirectoryInfo folder = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "DistTrain.sln"))) folder = folder.Parent ?? throw new DirectoryNotFoundException("the tests run outside the repository");
        return folder.FullName;
    }

    // The very files that the C library has loaded: a path that is loaded already is the same library.
    private static nint Function(string library, string name) =>
        NativeLibrary.GetExport(NativeLibrary.Load(Path.Combine(Environment.GetEnvironmentVariable("LD_LIBRARY_PATH")!, library)), name);

    private static string? Compile(string[] arguments)
    {
        ProcessStartInfo start = new("cc", arguments) { RedirectStandardError = true };
        try
        {
            using Process compiler = Process.Start(start)!;
            string errors = compiler.StandardError.ReadToEnd();
            compiler.WaitForExit();
            return compiler.ExitCode == 0 ? null : throw new InvalidOperationException(errors);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "a C compiler is needed (Debian: apt-get install gcc)";
        }
    }
}
