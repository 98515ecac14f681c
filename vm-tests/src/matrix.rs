//! The matrix: `kernels.toml` as values.

use serde::Deserialize;

use crate::error::{Context, Result};
use crate::host::arch;

/// What `kernels.toml` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The kernels, oldest first.
    #[serde(rename = "kernel")]
    pub kernels: Vec<Kernel>,
    /// The programs of the guest.
    pub guest: Guest,
    /// The modules of the guest.
    pub modules: Modules,
}

/// One kernel of the matrix.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// The name that trials and the command line use.
    pub name: String,
    /// The Debian suite that has it.
    pub suite: String,
    /// Package names or patterns, the preferred one first.
    pub packages: Vec<String>,
}

/// Where the guest's programs come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// The Debian suite.
    pub suite: String,
    /// The packages, libraries included.
    pub packages: Vec<String>,
    /// Paths of programs that are wanted.
    pub programs: Vec<String>,
    /// Directories of objects that programs load by name.
    pub plugins: Vec<String>,
}

/// Which modules are packed for the guest, beside those that they depend on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modules {
    /// Must be there, as a module or built in.
    pub required: Vec<String>,
    /// Names and patterns, taken where they are.
    pub optional: Vec<String>,
}

impl Matrix {
    /// The matrix that this crate was built with.
    pub fn load() -> Result<Self> {
        let mut matrix: Self = toml::from_str(include_str!("../kernels.toml"))
            .map_err(|error| error.to_string())
            .context("kernels.toml")?;
        let arch = arch::chosen()?.debian;
        for package in matrix.kernels.iter_mut().flat_map(|kernel| &mut kernel.packages) {
            *package = package.replace("ARCH", arch);
        }
        Ok(matrix)
    }

    /// The kernel called `name`.
    pub fn kernel(&self, name: &str) -> Result<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.name == name).ok_or_else(|| {
            let known: Vec<_> = self.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
            crate::error::Error::new(format!("no kernel is named `{name}`"))
                .hint(format!("the matrix has {}", known.join(", ")))
        })
    }
}

/// Whether `name` matches `pattern`, in which `*` stands for any text without a dash.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|tail| {
            let reach = tail.find('-').unwrap_or(tail.len());
            (0..=reach).any(|end| tail.is_char_boundary(end) && matches(rest, &tail[end..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Matrix, matches};

    #[test]
    fn the_matrix_reads() {
        let matrix = Matrix::load().unwrap();
        assert!(matrix.kernels.len() >= 4);
        assert!(matrix.kernel("6.12").is_ok());
        assert!(matrix.kernel("2.4").unwrap_err().to_string().contains("5.10"));
    }

    #[test]
    fn a_star_stops_at_a_dash() {
        assert!(matches("linux-image-6.1.0-*-amd64", "linux-image-6.1.0-50-amd64"));
        assert!(!matches("linux-image-6.1.0-*-amd64", "linux-image-6.1.0-50-cloud-amd64"));
        assert!(matches("linux-image-6.12.*-amd64", "linux-image-6.12.107+deb13-amd64"));
        assert!(!matches("linux-image-6.12.*-amd64", "linux-image-6.120-amd64"));
        assert!(matches("nft_*", "nft_ct"));
        assert!(!matches("veth", "veth2"));
    }
}
