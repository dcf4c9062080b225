namespace DistTrain.Kernels.Tests;

public sealed class NativeLibrariesTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("disttrain-native");

    private static readonly string[] s_driver = ["libcuda.so.1", "libcuda.so", "nvcuda"];

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void Cuda_is_the_driver_where_there_is_no_adapter() =>
        Assert.Equal(s_driver, NativeLibraries.Candidates(null, _folder.FullName, "", null));

    [Fact]
    public void The_adapter_comes_before_the_driver_beside_the_assembly_and_under_runtimes()
    {
        string beside = Touch(""), below = Touch(Path.Combine("runtimes", $"linux-{System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}", "native"));

        Assert.Equal([beside, below, .. s_driver], NativeLibraries.Candidates(null, _folder.FullName, _folder.FullName + Path.DirectorySeparatorChar));
    }

    [Fact]
    public void A_folder_named_for_native_libraries_is_the_only_one_looked_into()
    {
        Touch("");
        string named = Touch("named");

        Assert.Equal([named, .. s_driver], NativeLibraries.Candidates(Path.GetDirectoryName(named), _folder.FullName));
        Assert.Equal(s_driver, NativeLibraries.Candidates(Path.Combine(_folder.FullName, "absent"), _folder.FullName));
    }

    [Fact]
    public void A_file_that_is_not_the_adapter_is_passed_over()
    {
        string file = Touch("");

        Assert.Contains((file, false), NativeLibraries.Candidates(null, _folder.FullName).Take(1).Select(path => (path, System.Runtime.InteropServices.NativeLibrary.TryLoad(path, out _))));
    }

    private string Touch(string folder)
    {
        string file = Path.Combine(Directory.CreateDirectory(Path.Combine(_folder.FullName, folder)).FullName, "libdisttrain_cuda.so");
        File.WriteAllText(file, "");
        return file;
    }
}
